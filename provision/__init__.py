"""From one cluster description to plain facts per host, and from these to either engine."""
