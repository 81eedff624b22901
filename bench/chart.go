package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

var errChart = errors.New("-chart: no scenario latency was measured")

// writeChart draws the rates over the vendors' latency, where a file is named.
func (r *Report) writeChart(path string) error {
	if path == "" {
		return nil
	}
	c := r.chart()
	if len(c.latencies) == 0 {
		return errChart
	}
	return os.WriteFile(path, []byte(c.svg()), 0o644)
}

// chart is lines of rates over latencies, each latency as far from the next as any other. The rates are on a logarithmic scale.
type chart struct {
	latencies []float64 // in ms
	lines     []line
}

type line struct {
	name, color string
	label       float64 // how far below a point its figure is; 0 has none
	rates       map[float64]float64
}

const bareLine = "bare client"

// chart returns the lines of those rows that are about latency alone.
func (r *Report) chart() (c chart) {
	c.lines = []line{
		{"concurrency: adaptive", "#1f6feb", 34, map[float64]float64{}},
		{"concurrency: 16", "#cf222e", 20, map[float64]float64{}},
		{bareLine, "#6e7781", 0, map[float64]float64{}},
	}
	for _, l := range r.Latency {
		if !strings.HasPrefix(l.Name, fixedLatency) {
			continue
		}
		if !slices.Contains(c.latencies, l.Answer) {
			c.latencies = append(c.latencies, l.Answer)
		}
		for _, line := range c.lines {
			switch line.name {
			case "concurrency: " + l.Concurrency:
				line.rates[l.Answer] = l.Rate
			case bareLine:
				line.rates[l.Answer] = cmp.Or(l.Bare, line.rates[l.Answer])
			}
		}
	}
	slices.Sort(c.latencies)
	return c
}

const (
	chartWidth, chartHeight = 720, 400
	// The lines are between these.
	chartLeft, chartRight, chartTop, chartBottom = 80, 690, 60, 350
)

func (c *chart) svg() string {
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&s, "<title>Deliveries per second over the latency of three vendors</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", chartWidth, chartHeight)
	low, high := c.decades()
	for decade := low; decade <= high; decade++ {
		y := height(math.Pow10(decade), low, high)
		fmt.Fprintf(&s, `<path d="M%d %.1fH%d" stroke="#d0d7de"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n",
			chartLeft, y, chartRight, chartLeft-8, y+4, math.Pow10(decade))
	}
	for i, latency := range c.latencies {
		fmt.Fprintf(&s, `<text x="%.1f" y="%d" text-anchor="middle">%.4g ms</text>`+"\n", c.across(i), chartBottom+22, latency)
	}
	fmt.Fprintf(&s, `<text x="%d" y="20">deliveries/s to three vendors together, over their latency</text>`+"\n", chartLeft)
	for i, l := range c.lines {
		l.draw(&s, c, i, low, high)
	}
	s.WriteString("</svg>\n")
	return s.String()
}

// draw draws a line with its name and figures.
func (l *line) draw(s *strings.Builder, c *chart, number, low, high int) {
	var points []string
	for i, latency := range c.latencies {
		rate := l.rates[latency]
		if rate <= 0 {
			continue
		}
		x, y := c.across(i), height(rate, low, high)
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
		fmt.Fprintf(s, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"><title>%.0f/s</title></circle>`, x, y, l.color, rate)
		if l.label != 0 {
			fmt.Fprintf(s, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="%s">%.0f</text>`, x, y+l.label, l.color, rate)
		}
	}
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(points, " "), l.color)
	fmt.Fprintf(s, `<text x="%d" y="42" fill="%s">%s</text>`+"\n", chartLeft+200*number, l.color, l.name)
}

// across is where a latency is.
func (c *chart) across(i int) float64 {
	return chartLeft + (float64(i)+.5)*(chartRight-chartLeft)/float64(len(c.latencies))
}

// height is where a rate is.
func height(rate float64, low, high int) float64 {
	return chartBottom - (math.Log10(rate)-float64(low))/float64(high-low)*(chartBottom-chartTop)
}

// decades are the powers of ten around all rates.
func (c *chart) decades() (low, high int) {
	least, most := math.Inf(1), 1.0
	for _, l := range c.lines {
		for _, rate := range l.rates {
			if rate > 0 {
				least, most = min(least, rate), max(most, rate)
			}
		}
	}
	least = min(least, most)
	low, high = int(math.Floor(math.Log10(least))), int(math.Ceil(math.Log10(most)))
	return low, max(high, low+1)
}
