"""What coldframe remembers: records, the journal, blobs, checkpoints. Imports nothing else of ours."""
