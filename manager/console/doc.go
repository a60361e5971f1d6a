// Package console is the manager as web pages: HTML made on the server from
// templates, with one small script for what a page can't do by itself (parts
// that update, copying, asking back). Everything is embedded; nothing is built.
//
// A page calls the Admin service inside the process, with the cookie of who
// looks, so that what a person may do is decided in the one place that decides
// it for REST and gRPC. What a person may not do is not offered either, but
// that is courtesy: a forged request is refused by the service. Requests that
// change something must come from a page of this server.
//
// A template whose page updates has a block "part"; the script asks for the same
// URL with the header Part, and gets this block alone.
//
// Nothing of a page is markup but what stands in the templates, and the Content
// Security Policy allows no script but ours.
package console
