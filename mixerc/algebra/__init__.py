"""What the equations are: transitions, states, reads; which modes are legal and why."""
