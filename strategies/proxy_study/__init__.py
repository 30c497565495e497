"""The proxy study: which reduced setting ranks networks as the original setting does (EcoNAS section 3)."""
