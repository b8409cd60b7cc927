// Small helpers of the dashboard.
