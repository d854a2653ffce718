"""What has to happen by itself: silent machines, rollouts, rotations, housekeeping."""
