"""What fleets of different sites must know of each other before one's word counts at the other."""
