"""The web app. It sees the gateway from outside, over HTTP, as any client does; of our own code it imports at most
`evals`."""
