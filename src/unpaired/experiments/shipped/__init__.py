"""The studies that come with unpaired, one file a paper or question."""
