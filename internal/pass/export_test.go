package pass

// KeepAtMost bounds how many passes k can give again, and Kept is how many it could.
func KeepAtMost(k *Keys, n int) { k.issued.Resize(n) }
func Kept(k *Keys) int          { return k.issued.Len() }

// Forget empties what k remembers.
func Forget(k *Keys) {
	k.issued.Purge()
	k.verified.Purge()
}
