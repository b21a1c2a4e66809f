# What this caller may see for this purpose, as conditions over marks. Total: always one object.
package entente

import data.entente.classes
import data.entente.portions

grant := {
	"rows": portions.rows,
	"pointers": portions.pointers,
	"silent": portions.silent,
	"classes": classes.by_class,
}
