"""What the repository is: readers, detection, preflight, generation."""
