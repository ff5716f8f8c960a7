/*
 * library.h - the version of the library behind this layer, for `sluice version -v`.
 */
#ifndef CORE_LIBRARY_H
#define CORE_LIBRARY_H

/* Of libevent, a static text such as "2.1.12-stable". */
const char *library_libevent(void);

#endif /* CORE_LIBRARY_H */
