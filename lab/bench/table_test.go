package bench

import (
	"strings"
	"testing"
	"time"
)

func TestTheTableComparesWithTheBestOfTheOthers(t *testing.T) {
	t.Parallel()
	laps := func(seconds ...float64) []lap {
		var list []lap
		for _, s := range seconds {
			list = append(list, lap{Wall: time.Duration(s * float64(time.Second)), CPU: time.Second, PeakBytes: int64(s * 10e6)})
		}
		return list
	}
	text := pullTable([]*contender{
		{name: "slow", laps: laps(4, 3, 5)},
		{name: "other", laps: laps(2, 4, 1)},
		{name: "pullkey", laps: laps(3, 2, 3.5)},
	})
	for _, want := range []string{
		"slow                                3.00 s    4.00 s   3.00 /  2.00    1.00 s     50 MB",
		"other                               1.00 s    2.00 s   0.50 /  0.67    1.00 s     40 MB",
		"pullkey                             2.00 s    3.00 s   2.00 /  1.50    1.00 s     35 MB",
		"wall 1.50 of the best other, wanted at most 1.1: NOT KEPT; peak 35 MB, wanted at most 40: kept",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
