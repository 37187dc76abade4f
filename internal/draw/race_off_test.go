//go:build !race

package draw_test

// fullLobby is the lobby of which every place is looked at.
const fullLobby = 10_000_000
