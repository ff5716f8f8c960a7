/*
 * library.h - the library behind this layer: its version for `sluice version -v`, its messages.
 */
#ifndef CORE_LIBRARY_H
#define CORE_LIBRARY_H

/* Of libevent, a static text such as "2.1.12-stable". */
const char *library_libevent(void);

/* From now on libevent's own messages are lines of our log. For the whole process. */
void library_log(void);

#endif /* CORE_LIBRARY_H */
