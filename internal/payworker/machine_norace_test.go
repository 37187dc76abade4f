//go:build !race

package payworker

// slowdown is by how much fewer sequences are played.
const slowdown = 1
