package readahead

import "bytes"

// footers are the first bytes of formats whose readers go to the end of the
// file next, where the directory or the metadata are.
var footers = [][]byte{
	[]byte("PK\x03\x04"),         // zip, and what is one: jar, wheel, docx, npz, PyTorch
	[]byte("PAR1"),               // Parquet
	[]byte("ORC"),                // ORC
	[]byte("ARROW1"),             // Arrow IPC file, Feather
	[]byte("7z\xbc\xaf\x27\x1c"), // 7-Zip
}

// footerSize is what such readers read first: the zip end record with its
// longest comment, and more than what Parquet readers guess.
const footerSize = 66 << 10

// FooterAt returns where the footer of a file lies that begins with head; no
// length if its format has none that is read early.
func FooterAt(head []byte, size int64) Range {
	for _, magic := range footers {
		if bytes.HasPrefix(head, magic) {
			n := min(footerSize, size)
			return Range{size - n, n}
		}
	}
	return Range{}
}
