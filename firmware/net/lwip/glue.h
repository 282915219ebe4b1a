// glue.h: between net.c and stream.c.
#ifndef GLUE_H
#define GLUE_H

// Ask for a turn as soon as the event loop comes round: something waits to be sent or told.
void net_wake(void);
// One turn of all streams: start what can start, send what was written, tell what happened.
void stream_turn(void);
#endif
