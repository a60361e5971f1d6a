package pieces

// maxCluster bounds the name of a cluster, in bytes.
const maxCluster = 63

// CheckCluster refuses what can't be the name of a cluster: 1 to 63 of a-z, 0-9
// and '-'.
func CheckCluster(name string) error {
	ok := name != "" && len(name) <= maxCluster
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
	}
	if !ok {
		return Errorf(Invalid, "cluster %.80q: want 1 to %d of a-z, 0-9 and '-'", name, maxCluster)
	}
	return nil
}
