// Package bench measures Damselfly on the shaped links of a lab beside what
// users have today: direct download, the published Dragonfly rules (policy
// classic) and BitTorrent (aria2), in the same run on the same links.
//
// Everything is a ratio. B_eff is what one plain transfer gets over such a link,
// measured first; T = F / B_eff for a file of F bytes; LB is the lower bound of
// DESIGN §13 for the last host:
//
//	LB = max(F/origin rate when cold, F/seed upload, F/slowest download, N·F/total upload)
//
// A shaped run during which the machine's processors were busy for more than
// 80 % of the time measures the machine: it is void, marked so, and left out of
// median and worst. What counts bytes, or compares two runs one after the other
// without limits, is not void (Row.Unshaped).
//
// Every byte that a run delivered is compared with the content's: outputs and
// caches afterwards, what programs read through mounts as they read it.
//
// Each scenario prints its table as it ends; with Options.Results its table,
// JSON and plots of its hosts' progress become files. A rig, which is a lab with
// an origin and a cluster, is kept from one scenario to the next where it fits.
package bench
