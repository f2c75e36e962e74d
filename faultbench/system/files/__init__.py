"""Files: safe replacing, locking, reading and cleaning up, even when disks are full or writers die."""
