//go:build race

package payworker

// slowdown is by how much fewer sequences are played: the race detector takes several times as long for each.
const slowdown = 10
