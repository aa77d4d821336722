// sales.c is a map over lines ID,CUSTOMER,PRODUCT,CENTS. "sales group" writes PRODUCT TAB CENTS; "sales join FILE" joins with a CSV of customers
// (id,country, in whatever order of lines, a line of names first) and writes COUNTRY TAB CENTS. It says in the log how many lines it read. Built by build.sh.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUSTOMERS 100000

static char line[1 << 16], *countries[CUSTOMERS];

static int customers(const char *path) {
	FILE *f = fopen(path, "r");
	if (!f || !fgets(line, sizeof line, f) || strcmp(line, "id,country\n")) {
		fprintf(stderr, "%s is no table of customers\n", path);
		return 0;
	}
	while (fgets(line, sizeof line, f)) {
		char *comma = strchr(line, ',');
		int id = atoi(line);
		if (!comma || id < 0 || id >= CUSTOMERS) return 0;
		comma[strcspn(comma, "\n")] = 0;
		countries[id] = strdup(comma + 1);
	}
	fclose(f);
	return 1;
}

int main(int argc, char **argv) {
	int join = argc == 3 && !strcmp(argv[1], "join");
	long lines = 0;
	if (join && !customers(argv[2])) return 1;
	for (; fgets(line, sizeof line, stdin); lines++) {
		char *customer = strchr(line, ','), *product = customer ? strchr(customer + 1, ',') : 0, *cents = product ? strchr(product + 1, ',') : 0;
		if (!cents) {
			fprintf(stderr, "no sale: %s", line);
			return 1;
		}
		*cents++ = *product++ = 0;
		int id = atoi(customer + 1);
		if (join && (id < 0 || id >= CUSTOMERS || !countries[id])) continue; // an inner join
		printf("%s\t%s", join ? countries[id] : product, cents);
	}
	fprintf(stderr, "%ld lines\n", lines);
	return 0;
}
