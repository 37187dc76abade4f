//go:build race

package draw_test

// fullLobby is the lobby of which every place is looked at: a smaller one, since the race detector is slow.
const fullLobby = 1_000_000
