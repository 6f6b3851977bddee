package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// Units that the SDK has under other names.
const (
	perSecond = units.RequestsPerSecond
	seconds   = units.Seconds
	share     = units.PercentUnit
	bytes     = units.BytesIEC
	plain     = units.Short
)

// source is the Prometheus that is chosen at the head of a dashboard.
var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${source}")}

// query is an expression, and how its series are named.
type query struct{ expr, name string }

// board is an empty dashboard with the choices that all of them have.
func board(uid, title, description string) *dashboard.DashboardBuilder {
	return dashboard.NewDashboardBuilder(title).
		Uid(uid).
		Description(description).
		Tags([]string{"octavo"}).
		Time("now-1h", "now").
		Refresh("30s").
		Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Octavo").
			Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"octavo"}).AsDropdown(true).KeepTime(true)).
		WithVariable(dashboard.NewDatasourceVariableBuilder("source").Label("Prometheus").Type("prometheus"))
}

// choice is a variable whose values are those of a label.
func choice(name, label, values string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Datasource(source).
		Query(dashboard.StringOrMap{String: &values}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc)
}

// instances chooses processes; at first all.
func instances() *dashboard.QueryVariableBuilder {
	return choice("instance", "Instance", "label_values(octavo_build_info, instance)").
		Multi(true).IncludeAll(true).AllValue(".*").
		Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{String: cog.ToPtr("All")},
			Value: dashboard.StringOrArrayOfString{String: cog.ToPtr("$__all")},
		})
}

func row(title string) *dashboard.RowBuilder { return dashboard.NewRowBuilder(title) }

// lines is a plot over time, 24 columns wide at most.
func lines(title, description, unit string, width uint32, queries ...query) *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().
		Title(title).Description(description).
		Datasource(source).
		Span(width).Height(8).
		Unit(unit).Min(0).
		LineWidth(1).FillOpacity(8).
		ShowPoints(common.VisibilityModeNever).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true))
	for i, q := range queries {
		p.WithTarget(target(i, q))
	}
	return p
}

// durations is a plot of quantiles; Grafana puts exemplars on it, from which
// one click leads to a trace.
func durations(title, description string, width uint32, histogram string) *timeseries.PanelBuilder {
	p := lines(title, description, seconds, width)
	for i, q := range []query{{"0.5", "median"}, {"0.9", "90 %"}, {"0.99", "99 %"}} {
		p.WithTarget(target(i, query{quantile(q.expr, histogram, "le"), q.name}).Exemplar(q.expr == "0.99"))
	}
	return p
}

// quantile is that of the histogram in the last moments.
func quantile(q, histogram, by string) string {
	return "histogram_quantile(" + q + ", sum by (" + by + ") (rate(" + histogram + "[$__rate_interval])))"
}

// figure is the last value in large.
func figure(title, description, unit string, width uint32, steps []dashboard.Threshold, queries ...query) *stat.PanelBuilder {
	p := stat.NewPanelBuilder().
		Title(title).Description(description).
		Datasource(source).
		Span(width).Height(5).
		Unit(unit).
		ColorMode(common.BigValueColorModeValue).
		GraphMode(common.BigValueGraphModeNone).
		Orientation(common.VizOrientationAuto).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps))
	for i, q := range queries {
		p.WithTarget(target(i, q))
	}
	return p
}

func target(i int, q query) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().RefId(string(rune('A' + i))).Datasource(source).Expr(q.expr).LegendFormat(q.name).Range()
}

// neutral colours nothing.
func neutral() []dashboard.Threshold { return []dashboard.Threshold{{Color: "text"}} }

// bad colours a value from limits on: first orange, then red.
func bad(orange, red float64) []dashboard.Threshold {
	return []dashboard.Threshold{{Color: "green"}, {Value: &orange, Color: "orange"}, {Value: &red, Color: "red"}}
}

// good colours a value below limits: red below the first, orange below the second.
func good(red, orange float64) []dashboard.Threshold {
	return []dashboard.Threshold{{Color: "red"}, {Value: &red, Color: "orange"}, {Value: &orange, Color: "green"}}
}
