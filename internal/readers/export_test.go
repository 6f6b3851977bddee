package readers

import "time"

// SetHeartbeat shortens the silence of streams for tests.
func (s *Server) SetHeartbeat(d time.Duration) { s.heartbeat = d }
