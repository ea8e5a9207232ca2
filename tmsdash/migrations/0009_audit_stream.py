from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tmsdash', '0008_notices'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditStream',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('sequence', models.BigIntegerField(help_text='0 before the first entry')),
                ('mac', models.CharField(max_length=64)),
                ('moved_at', models.DateTimeField()),
                ('holder', models.CharField(blank=True, max_length=150)),
                ('held_until', models.DateTimeField(null=True)),
            ],
            options={
                'default_permissions': (),
            },
        ),
    ]
