"""Who may call: tokens, keys, replays, roles, rates, origins and limits. The front asks one Gatekeeper."""
