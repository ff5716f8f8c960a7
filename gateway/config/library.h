/*
 * library.h - the version of the library behind this layer, for `sluice version -v`.
 */
#ifndef CONFIG_LIBRARY_H
#define CONFIG_LIBRARY_H

/* Of libyaml, a static text such as "0.2.5". */
const char *library_libyaml(void);

#endif /* CONFIG_LIBRARY_H */
