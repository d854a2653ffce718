"""Other sites' bundles: fetched from where they are shown, held against what was pinned."""
