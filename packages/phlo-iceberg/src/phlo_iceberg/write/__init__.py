"""Plan and write data files, delete files and snapshots, without touching the catalog."""
