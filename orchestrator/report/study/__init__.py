"""A proxy study in the report: the recommendation, all settings, and EcoNAS's figures for this data."""
