"""From a passive solver to one that asks: pre-training, step entropy, asking data, SFT, export. Run from the checkout."""
