package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

const (
	// pages are the requests that docs/operations/objectives.md counts.
	pages = `route!~"GET /static/.*"`
	// faults are the codes that are the service's fault, and not the caller's.
	faults = `grpc_code=~"Unknown|DeadlineExceeded|ResourceExhausted|Unimplemented|Internal|Unavailable|DataLoss"`
	// here are the chosen processes.
	here = `instance=~"$instance"`
)

func overview() *dashboard.DashboardBuilder {
	return board("octavo-overview", "Octavo overview", "Are readers served as promised, and by which part not.").
		WithRow(row("Objectives, as docs/operations/objectives.md states them")).
		WithPanel(figure("Budget left of 30 days", "How much may still be missed before an objective of 30 days is.", share, 12, good(0, 0.25),
			query{`1 - octavo:budget_burn:30d`, "{{objective}}"})).
		WithPanel(figure("Servers ready", "Servers that want requests, of those that are there.", plain, 4, neutral(),
			query{`sum(octavo_ready)`, "ready"}, query{`count(octavo_ready)`, "there"})).
		WithPanel(figure("Alerts", "Alerts that fire now.", plain, 4, bad(1, 1),
			query{`count(ALERTS{alertstate="firing"}) or vector(0)`, "firing"})).
		WithPanel(figure("Oldest model in use", "Since it was published.", seconds, 4, bad(86400, 2*86400),
			query{`max(octavo_model_age_seconds)`, "age"})).
		WithPanel(lines("Burn of the budgets, last hour", "1 lasts exactly 30 days. From 14.4 on somebody is woken.", plain, 12,
			query{`octavo:budget_burn:1h`, "{{objective}}"}).
			ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed)).
			Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(bad(1, 14.4)))).
		WithPanel(lines("Misses", "What missed its objective, for each second.", plain, 12,
			query{`octavo:objective_misses:rate`, "{{objective}}"})).
		WithRow(row("The storefront")).
		WithPanel(lines("Requests by route", "", perSecond, 8,
			query{`sum by (route) (rate(http_server_handled_total[$__rate_interval]))`, "{{route}}"})).
		WithPanel(lines("Requests that broke", "Answers with a status of 5xx.", perSecond, 8,
			query{`sum(rate(http_server_handled_total{code="5xx"}[$__rate_interval])) or vector(0)`, "5xx"})).
		WithPanel(durations("Time of a page", "The objective is 250 ms.", 8, `http_server_handling_seconds_bucket{`+pages+`}`)).
		WithPanel(lines("Pages without a service", "Pages that came without what a service knows, by service.", perSecond, 8,
			query{`sum by (service) (rate(octavo_pages_without_total[$__rate_interval]))`, "{{service}}"})).
		WithPanel(lines("Requests in progress", "", plain, 8, query{`sum(http_server_in_flight)`, "in progress"})).
		WithPanel(lines("Pages that were answered in 250 ms", "Without a status of 5xx.", share, 8,
			query{`1 - (octavo:objective_misses:rate{objective="pages"} / (octavo:objective_events:rate{objective="pages"} > 0) or octavo:objective_events:rate{objective="pages"} * 0)`, "pages"}).Max(1)).
		WithRow(row("What readers do")).
		WithPanel(lines("Pages by kind", "", perSecond, 8,
			query{`sum by (page) (rate(octavo_pages_total[$__rate_interval]))`, "{{page}}"})).
		WithPanel(lines("Interactions by kind", "Those that are in the log for certain.", perSecond, 8,
			query{`sum by (kind) (rate(octavo_interactions_accepted_total[$__rate_interval]))`, "{{kind}}"})).
		WithPanel(lines("Searches by result", "", perSecond, 8,
			query{`sum by (result) (rate(octavo_searches_total[$__rate_interval]))`, "{{result}}"})).
		WithPanel(figure("Books", "Of the catalog.", plain, 4, neutral(), query{`max(octavo_books)`, "books"})).
		WithPanel(figure("Readers", "Visitors included.", plain, 4, neutral(), query{`max(octavo_readers)`, "readers"})).
		WithPanel(figure("Interactions", "In the log.", plain, 4, neutral(), query{`max(octavo_interactions)`, "interactions"})).
		WithPanel(figure("Covers", "Drawn, and held in memory by all storefronts.", plain, 4, neutral(), query{`sum(octavo_bookshelf_books)`, "covers"})).
		WithPanel(lines("Books to show", "A hit when the cover was there.", perSecond, 8,
			query{`sum by (result) (rate(octavo_bookshelf_lookups_total[$__rate_interval]))`, "{{result}}"}).Height(5)).
		WithRow(row("The services")).
		WithPanel(lines("Calls by service", "", perSecond, 8,
			query{`sum by (grpc_service) (rate(grpc_server_started_total[$__rate_interval]))`, "{{grpc_service}}"})).
		WithPanel(lines("Calls that failed by service", "By the service's fault; what callers get wrong is not among them.", perSecond, 8,
			query{`sum by (grpc_service) (rate(grpc_server_handled_total{` + faults + `}[$__rate_interval])) or sum by (grpc_service) (rate(grpc_server_started_total[$__rate_interval])) * 0`, "{{grpc_service}}"})).
		WithPanel(lines("Time of a call by service, 99 %", "Streams left out.", seconds, 8,
			query{quantile("0.99", `grpc_server_handling_seconds_bucket{grpc_type="unary"}`, "le, grpc_service"), "{{grpc_service}}"})).
		WithRow(row("Overload")).
		WithPanel(lines("Calls that count against the limit", "In progress now.", plain, 8,
			query{`sum by (server) (overload_in_flight)`, "{{server}}"})).
		WithPanel(lines("Room for interactive calls", "The smallest limit that a server has set itself.", plain, 8,
			query{`min by (server) (overload_limit{priority="interactive"})`, "{{server}}"})).
		WithPanel(lines("Refused by reason", "full: no room; delayed: no processor; hopeless: no time left. Background calls go first.", perSecond, 8,
			query{`sum by (priority, reason) (rate(overload_refused_total[$__rate_interval]))`, "{{priority}}, {{reason}}"}))
}

func service() *dashboard.DashboardBuilder {
	const (
		of      = `grpc_service="$service"`
		unary   = of + `, grpc_type="unary"`
		started = `sum by (grpc_method) (rate(grpc_server_started_total{` + of + `}[$__rate_interval]))`
	)
	return board("octavo-service", "Octavo service", "One gRPC service, as it sees itself and as its callers see it.").
		WithVariable(choice("service", "Service", "label_values(grpc_server_started_total, grpc_service)").Regex(`/^(octavo\.|Recommendations$)/`)).
		WithRow(row("As the service sees it")).
		WithPanel(lines("Calls by method", "", perSecond, 8, query{started, "{{grpc_method}}"})).
		WithPanel(lines("Calls by outcome", "", perSecond, 8,
			query{`sum by (grpc_code) (rate(grpc_server_handled_total{` + of + `}[$__rate_interval])) or on() label_replace(vector(0), "grpc_code", "OK", "", "")`, "{{grpc_code}}"})).
		WithPanel(lines("Calls that failed, by method", "By the service's fault.", perSecond, 8,
			query{`sum by (grpc_method) (rate(grpc_server_handled_total{` + of + `, ` + faults + `}[$__rate_interval])) or ` + started + ` * 0`, "{{grpc_method}}"})).
		WithPanel(durations("Time of a call", "Streams left out.", 8, `grpc_server_handling_seconds_bucket{`+unary+`}`)).
		WithPanel(lines("Time of a call by method, 99 %", "Streams left out.", seconds, 8,
			query{quantile("0.99", `grpc_server_handling_seconds_bucket{`+unary+`}`, "le, grpc_method"), "{{grpc_method}}"})).
		WithPanel(lines("Calls in progress by method", "Those of the feeds are their followers.", plain, 8,
			query{`sum by (grpc_method) (grpc_server_in_flight{` + of + `})`, "{{grpc_method}}"})).
		WithRow(row("As its callers see it")).
		WithPanel(lines("Calls to it by outcome", "Of all processes that Prometheus knows.", perSecond, 8,
			query{`sum by (grpc_code) (rate(grpc_client_handled_total{` + of + `}[$__rate_interval])) or on() label_replace(vector(0), "grpc_code", "OK", "", "")`, "{{grpc_code}}"})).
		WithPanel(durations("Time of a call to it", "Streams left out.", 8, `grpc_client_handling_seconds_bucket{`+unary+`}`)).
		WithPanel(lines("Time on the way, mean", "What callers wait beyond what the service takes: connection, queue, network.", seconds, 8,
			query{`clamp_min(sum(rate(grpc_client_handling_seconds_sum{` + unary + `}[$__rate_interval])) / sum(rate(grpc_client_handling_seconds_count{` + unary + `}[$__rate_interval])) - sum(rate(grpc_server_handling_seconds_sum{` + unary + `}[$__rate_interval])) / sum(rate(grpc_server_handling_seconds_count{` + unary + `}[$__rate_interval])), 0)`, "on the way"}))
}

func recommender() *dashboard.DashboardBuilder {
	return board("octavo-recommender", "Octavo recommender", "What recommendations knows, how new that is, and what its answers rest on.").
		WithVariable(instances()).
		WithRow(row("Now")).
		WithPanel(figure("Model in use", "Its version.", plain, 6, neutral(),
			query{`max by (version) (octavo_model_info{` + here + `})`, "{{version}}"}).TextMode(common.BigValueTextModeName)).
		WithPanel(figure("Age of the model", "Since it was published; 0 without one.", seconds, 4, bad(86400, 2*86400),
			query{`octavo_model_age_seconds{` + here + `}`, "{{instance}}"})).
		WithPanel(figure("Behind the feeds", "For how long a feed has not been known to its end. The objective is one second.", seconds, 4, bad(1, 60),
			query{`max by (feed) (octavo_feed_behind_seconds{` + here + `})`, "{{feed}}"})).
		WithPanel(figure("Books", "Held in memory.", plain, 3, neutral(), query{`max(octavo_catalogue_books{` + here + `})`, "books"})).
		WithPanel(figure("Readers", "Whose history is held in memory.", plain, 3, neutral(), query{`max(octavo_history_readers{` + here + `})`, "readers"})).
		WithPanel(figure("Models refused, last day", "Models that were damaged or failed their check.", plain, 4, bad(1, 1),
			query{`sum(increase(octavo_models_refused_total{` + here + `}[1d]))`, "refused"})).
		WithRow(row("Answers")).
		WithPanel(lines("Lists by what they rest on", "The reader's own books, or popularity alone.", perSecond, 8,
			query{`sum by (source) (rate(octavo_recommendations_total{` + here + `}[$__rate_interval]))`, "{{source}}"})).
		WithPanel(durations("Time of Recommend", "The objective is 50 ms.", 8, `grpc_server_handling_seconds_bucket{grpc_method=~"Recommend|BatchRecommend", `+here+`}`)).
		WithPanel(lines("Answers that a click had not reached", "They waited for the readers' log, in vain, and said so.", perSecond, 8,
			query{`sum(rate(octavo_min_position_missed_total{` + here + `}[$__rate_interval]))`, "missed"},
			query{`sum(rate(octavo_min_position_wait_seconds_count{` + here + `}[$__rate_interval]))`, "waited"})).
		WithRow(row("The feeds")).
		WithPanel(lines("Behind, time", "For how long a feed has not been known to its end.", seconds, 8,
			query{`octavo_feed_behind_seconds{` + here + `}`, "{{feed}} {{instance}}"})).
		WithPanel(lines("Behind, positions", "As last heard.", plain, 8, query{`octavo_feed_lag{` + here + `}`, "{{feed}} {{instance}}"})).
		WithPanel(lines("Taken in", "Positions applied for each second.", perSecond, 8,
			query{`rate(octavo_feed_position{` + here + `}[$__rate_interval])`, "{{feed}} {{instance}}"})).
		WithRow(row("What is known")).
		WithPanel(lines("Age of the model", "A fall is a new model.", seconds, 8, query{`octavo_model_age_seconds{` + here + `}`, "{{instance}}"})).
		WithPanel(lines("Models taken up", "In the last hour.", plain, 8, query{`increase(octavo_models_loaded_total{` + here + `}[1h])`, "{{instance}}"})).
		WithPanel(lines("Books in all histories", "Held in memory.", plain, 8, query{`octavo_history_entries{` + here + `}`, "{{instance}}"}))
}

func runtime() *dashboard.DashboardBuilder {
	return board("octavo-runtime", "Octavo runtime", "Processor, memory and what the Go runtime does with them.").
		WithVariable(instances()).
		WithRow(row("The process")).
		WithPanel(figure("Running", "What it is.", plain, 12, neutral(), query{`octavo_build_info{` + here + `}`, "{{program}} {{version}} {{goversion}}"}).TextMode(common.BigValueTextModeName)).
		WithPanel(figure("Up", "Since it started.", seconds, 12, neutral(), query{`time() - process_start_time_seconds{` + here + `, job="octavo"}`, "{{instance}}"})).
		WithPanel(lines("Processor", "Cores in use.", plain, 8, query{`rate(process_cpu_seconds_total{` + here + `, job="octavo"}[$__rate_interval])`, "{{instance}}"})).
		WithPanel(lines("Memory", "Resident, with mapped models; the Go heap; and the heap at which the next collection comes.", bytes, 8,
			query{`process_resident_memory_bytes{` + here + `, job="octavo"}`, "resident {{instance}}"},
			query{`go_memstats_heap_alloc_bytes{` + here + `, job="octavo"}`, "heap {{instance}}"},
			query{`go_memstats_next_gc_bytes{` + here + `, job="octavo"}`, "next collection {{instance}}"})).
		WithPanel(lines("File descriptors", "Files and connections, as a share of what is allowed.", share, 8,
			query{`process_open_fds{` + here + `, job="octavo"} / process_max_fds{` + here + `, job="octavo"}`, "{{instance}}"})).
		WithRow(row("The Go runtime")).
		WithPanel(lines("Goroutines", "", plain, 8, query{`go_goroutines{` + here + `, job="octavo"}`, "{{instance}}"})).
		WithPanel(lines("Threads", "Of the operating system.", plain, 8, query{`go_threads{` + here + `, job="octavo"}`, "{{instance}}"})).
		WithPanel(lines("Allocated", "For each second.", units.BytesPerSecondIEC, 8, query{`rate(go_memstats_alloc_bytes_total{` + here + `, job="octavo"}[$__rate_interval])`, "{{instance}}"})).
		WithPanel(lines("Collections", "For each second.", plain, 12, query{`rate(go_gc_duration_seconds_count{` + here + `, job="octavo"}[$__rate_interval])`, "{{instance}}"})).
		WithPanel(lines("Pause of a collection", "The median and the longest of the last ones.", seconds, 12,
			query{`go_gc_duration_seconds{` + here + `, job="octavo", quantile=~"0.5|1(\\.0)?"}`, "{{quantile}} {{instance}}"})).
		WithRow(row("The network")).
		WithPanel(lines("Connections by server", "That clients have open.", plain, 8,
			query{`sum by (server) (server_connections{` + here + `})`, "{{server}}"})).
		WithPanel(lines("Connections closed by reason", "Against the client's will: crowded, to make room for others; flood, for what serves nothing; waiting, from an address that has just flooded; handshakes, from one that asks for too many.", perSecond, 8,
			query{`sum by (reason) (rate(server_connections_closed_total{` + here + `}[$__rate_interval]))`, "{{reason}}"})).
		WithPanel(lines("Network", "Of the machine or pod, with all that runs there.", units.BytesPerSecondIEC, 8,
			query{`rate(process_network_receive_bytes_total{` + here + `, job="octavo"}[$__rate_interval])`, "in {{instance}}"},
			query{`rate(process_network_transmit_bytes_total{` + here + `, job="octavo"}[$__rate_interval])`, "out {{instance}}"}))
}
