"""What the commands share: from configuration to objects."""
