DROP FUNCTION public.tenant_schema_drop(integer);
DROP FUNCTION public.tenant_schema_create(integer);
DROP FUNCTION public.tenant_template_unclonable();
DROP FUNCTION public.tenant_schema_grant(name);
