"""Where a second forward pass pays: candidate regions, expected gains, and the rule that decides."""
