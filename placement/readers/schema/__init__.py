"""What a cluster file may hold, key by key."""
