"""Keep rows between runs: staging folders, quarantine, replay and requeue."""
