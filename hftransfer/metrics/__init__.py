"""One file each: the file's name is the registry entry."""
