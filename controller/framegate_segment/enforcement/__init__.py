"""From trust to set elements: what stands, what is cut, what somebody else changed."""
