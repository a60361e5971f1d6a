package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Request is one line of the origin's access log.
type Request struct {
	// Time of the end, seconds since 1970.
	Time   float64 `json:"time"`
	Status int     `json:"status"`
	Method string  `json:"method"`
	// URI is the path after redirects inside nginx, without the query.
	URI   string `json:"uri"`
	Range string `json:"range"`
	// Sent counts body bytes given to the socket. A client that hangs up
	// early has received fewer.
	Sent    int64   `json:"sent"`
	Remote  string  `json:"remote"`
	Seconds float64 `json:"seconds"`
}

// parseAccessLog reads the log as far as its last complete line.
func parseAccessLog(b []byte) ([]Request, error) {
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	var rs []Request
	for n, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var r Request
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("access log line %d: %w: %.200s", n+1, err, line)
		}
		rs = append(rs, r)
	}
	return rs, nil
}
