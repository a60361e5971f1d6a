package origin

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Fault changes an answer before it is sent.
type Fault func(*Answer)

// Cut ends the body after a share of it, with its Content-Length kept.
func Cut(share float64, end End) Fault {
	return func(a *Answer) { a.Stop, a.End = int64(share*float64(a.N)), end }
}

// Resize sends delta bytes more, or fewer, than asked, and says so.
func Resize(delta int64) Fault {
	return func(a *Answer) {
		a.N = max(0, a.N+delta)
		a.Length = a.N
		if a.Status == http.StatusPartialContent {
			a.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a.Off, a.Off+a.N-1, a.file.Size))
		}
	}
}

// Overflow sends n bytes after the Content-Length is used up.
func Overflow(n int64) Fault { return func(a *Answer) { a.N += n } }

// IgnoreRange answers 200 with everything.
func IgnoreRange(a *Answer) {
	a.Status, a.Off, a.N, a.Length = http.StatusOK, 0, a.file.Size, a.file.Size
	a.Header.Del("Content-Range")
}

// ContentRange tells other numbers than those of the bytes sent: first and last
// are moved by shift; total −1 is "*", 0 the true one. "" as unit drops it.
func ContentRange(unit string, shift, total int64) Fault {
	return func(a *Answer) {
		size := strconv.FormatInt(a.file.Size, 10)
		if total > 0 {
			size = strconv.FormatInt(total, 10)
		} else if total < 0 {
			size = "*"
		}
		a.Header.Del("Content-Range")
		if unit != "" {
			a.Header.Set("Content-Range", fmt.Sprintf("%s %d-%d/%s", unit, a.Off+shift, a.Off+a.N-1+shift, size))
		}
	}
}

// Shifted sends the bytes that stand shift further than those it says it sends.
// Nothing in such an answer tells that it lies.
func Shifted(shift int64) Fault { return func(a *Answer) { a.Off += shift } }

// Multipart answers with one part of multipart/byteranges.
func Multipart(a *Answer) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "--x\r\nContent-Type: application/octet-stream\r\nContent-Range: %s\r\n\r\n", a.Header.Get("Content-Range"))
	data := make([]byte, a.N)
	a.fill(data, 0)
	b.Write(data)
	b.WriteString("\r\n--x--\r\n")
	a.Header.Set("Content-Type", "multipart/byteranges; boundary=x")
	a.Header.Del("Content-Range")
	a.Body, a.Length = b.Bytes(), int64(b.Len())
}

// Gzip encodes the body though identity was asked.
func Gzip(a *Answer) {
	data := make([]byte, a.N)
	a.fill(data, 0)
	a.gzip(data)
}

// GzipBomb sends a few KiB that unpack to 64 MiB.
func GzipBomb(a *Answer) { a.gzip(make([]byte, 64<<20)) }

func (a *Answer) gzip(data []byte) {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	z.Write(data)
	z.Close()
	a.Header.Set("Content-Encoding", "gzip")
	a.Body, a.Length = b.Bytes(), int64(b.Len())
}

// Login is the page of a captive portal: 200, with an ETag of its own or none.
func Login(tag string) Fault {
	return func(a *Answer) {
		a.Status, a.Header = http.StatusOK, http.Header{"Content-Type": {"text/html"}}
		if tag != "" {
			a.Header.Set("ETag", tag)
		}
		a.Body = []byte("<html><form>Please log in</form></html>")
		a.Length = int64(len(a.Body))
	}
}

// Status answers with a status and nothing else; retryAfter may be empty.
func Status(code int, retryAfter string) Fault {
	return func(a *Answer) {
		a.Status, a.Header, a.N, a.Length = code, http.Header{}, 0, 0
		if retryAfter != "" {
			a.Header.Set("Retry-After", retryAfter)
		}
	}
}

// Redirect answers 302 to a URL.
func Redirect(to string) Fault {
	return func(a *Answer) {
		Status(http.StatusFound, "")(a)
		a.Header.Set("Location", to)
	}
}

// Mute accepts and never answers.
func Mute(a *Answer) { a.Mute = true }

// Refuse resets the connection instead of answering.
func Refuse(a *Answer) { a.ResetBeforeReply = true }

// SlowHead and SlowBody send so many bytes per second.
func SlowHead(rate int64) Fault { return func(a *Answer) { a.HeadRate = rate } }
func SlowBody(rate int64) Fault { return func(a *Answer) { a.Rate = rate } }

// Pause stalls half-way through the body, for d, or for ever if negative.
func Pause(d time.Duration) Fault {
	return func(a *Answer) { a.Stop, a.End, a.Pause = a.N/2, Stall, d }
}

// Chunked sends without a Content-Length.
func Chunked(a *Answer) { a.Length = -1 }

// Header sets a header; an empty value deletes it.
func Header(name, value string) Fault {
	return func(a *Answer) {
		a.Header.Del(name)
		if value != "" {
			a.Header.Set(name, value)
		}
	}
}
