"""Scenarios, start frames, rollouts and the versions of the policy that sampled them."""
