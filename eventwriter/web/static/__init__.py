"""What the dashboard is made of: served as it lies here, without a build."""
