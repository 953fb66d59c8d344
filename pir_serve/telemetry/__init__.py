"""What the gateway tells of itself: metrics, traces, logs. Never what people or the model wrote."""
