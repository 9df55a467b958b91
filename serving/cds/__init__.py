"""CDS Hooks 2.0: services that an EHR discovers and calls, cards that it shows, feedback that it sends back."""
