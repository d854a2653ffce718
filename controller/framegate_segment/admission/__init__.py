"""Who may come as far as the join port: 802.1X at the ports of this host's own bridge."""
