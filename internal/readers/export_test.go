package readers

import "time"

// SetHeartbeat shortens the silence of streams for tests.
func (s *Server) SetHeartbeat(d time.Duration) { s.heartbeat = d }

// SetClock has the server tell the time by another clock.
func (s *Server) SetClock(clock func() time.Time) { s.clock = clock }
