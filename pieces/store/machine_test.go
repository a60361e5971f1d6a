package store
func runOutOfFiles(dir string) error { return nil }
