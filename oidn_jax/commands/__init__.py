"""The commands: flags in, files and lines out; what they compute is in the rooms below."""
