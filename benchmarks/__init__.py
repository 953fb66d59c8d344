"""What things cost, measured side by side in one run. Nothing here is installed; run from the checkout."""
